/* Preloaded into an authority: writing to the disk takes as long, or fails, as a file says.

   SLOW_DISK names a file with milliseconds in it, or with "fail"; it is read at each call. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int delay_or_fail(void) {
    const char *place = getenv("SLOW_DISK");
    if (place == NULL) return 0;
    int file = open(place, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    char text[16] = {0};
    ssize_t size = read(file, text, sizeof text - 1);
    close(file);
    if (size <= 0) return 0;
    if (strncmp(text, "fail", 4) == 0) return -1;
    long left = atol(text);
    for (; left > 0; left -= 10) { /* in pieces, so that a test can end it */
        struct timespec pause = {0, 10 * 1000 * 1000};
        nanosleep(&pause, NULL);
        if (access(place, F_OK) != 0) break;
    }
    return 0;
}

int fdatasync(int descriptor) {
    if (delay_or_fail() != 0) { errno = EIO; return -1; }
    return (int)syscall(SYS_fdatasync, descriptor);
}

int fsync(int descriptor) {
    if (delay_or_fail() != 0) { errno = EIO; return -1; }
    return (int)syscall(SYS_fsync, descriptor);
}
