// How the page says numbers, times and events.

export const time = (iso, seconds) => iso ? new Date(iso).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false, ...(seconds && { second: "2-digit" }) }) : "";
export const since = iso => { const day = new Date(iso); return day.toDateString() === new Date().toDateString() ? time(iso) : `${day.toLocaleDateString([], { day: "numeric", month: "short" })} ${time(iso)}`; };
export const span = s => s < 60 ? `${Math.round(s)} s` : s < 3600 ? `${Math.round(s / 60)} min` : `${Math.floor(s / 3600)} h ${Math.round(s % 3600 / 60)} min`;
export const noted = (who, note) => (who ?? "somebody") + (note ? ` (${note})` : "");
export const value = v => typeof v === "boolean" ? (v ? "on" : "off") : typeof v === "number" ? String(Number(v.toPrecision(6))) : String(v);
export const given = parameters => Object.entries(parameters ?? {}).map(([key, v]) => `${key}=${value(v)}`).join(", ");

const ENDED = {
  logout: "given back", idle: "it was idle", offered: "it was idle and somebody asked for it",
  silence: "nothing was heard of the kernel", unclaimed: "it was not taken up in time", turn: "the turn was over",
  session_ended: "the session ended", session_expired: "the session was silent for too long",
  gone: "the kernel is gone", connections_lost: "both connections of the kernel closed",
};
const ended = why => ENDED[why] ?? String(why).replaceAll("_", " ");
const WORDS = {
  lock_acquired: e => `${e.user} has ${e.equipment_id}${e.from_queue ? ", from the queue" : ""}`,
  lock_refreshed: e => `${e.user} goes on with ${e.equipment_id}`,
  lock_claimed: e => `${e.user} claimed ${e.equipment_id}`,
  lock_kept: e => e.seconds ? noted(`${e.user} keeps ${e.equipment_id} for ${span(e.seconds)}`, e.note) : `${e.user} no longer keeps ${e.equipment_id}`,
  lock_released: e => e.why === "handed_over" ? `${e.user} handed ${e.equipment_id} over ${e.reason}` : `${e.user} gave ${e.equipment_id} back`,
  lock_force_released: e => `${e.equipment_id} was taken from ${e.user} by force by ${noted(e.by, e.reason)}`,
  lock_expired: e => `${e.user} lost ${e.equipment_id}: ${ended(e.why)}`,
  lock_draining: e => `${e.equipment_id} of ${e.user} is ${e.parking ? "parked by the authority" : "coming to rest"}: ${ended(e.why)}`,
  observer_lock_acquired: e => `${e.user} watches ${e.equipment_id}`,
  observer_lock_released: e => `${e.user} no longer watches ${e.equipment_id}`,
  queued: e => `${e.user} waits for ${e.equipment_id}, place ${e.position}`,
  swap_offered: e => e.partner ? `${e.user} offers to swap places for ${e.equipment_id}` : `${e.user} no longer offers to swap places for ${e.equipment_id}`,
  queue_swapped: e => `${e.user} and ${e.by} swapped places for ${e.equipment_id}`,
  asked: e => noted(`${e.user} asks ${e.holder} for ${e.equipment_id}`, e.reason),
  ask_answered: e => noted(`${e.holder} tells ${e.user} about ${e.equipment_id}: ${e.answer === "later" ? `in ${span(e.promised_seconds)}` : "no"}`, e.note),
  ask_expired: e => `${e.holder} did not answer ${e.user} about ${e.equipment_id}`,
  queue_processed: e => `${e.user} left the queue of ${e.equipment_id}: ${e.result}`,
  command_started: e => `${e.user}: ${e.equipment_id} ${e.action}(${given(e.parameters)})`,
  command_finished: e => `${e.equipment_id} ${e.action}: ${e.outcome}${e.error ? `, ${e.error}` : ""}`,
  stopped: e => e.delivered === false || e.error ? `STOP of ${e.equipment_id} by ${noted(e.by, e.error)}${e.delivered === false ? " was NOT DELIVERED" : ""}` : `${e.equipment_id} stopped by ${noted(e.by, ENDED[e.reason] ?? e.reason)}`,
  resumed: e => `${e.user} goes on with ${e.equipment_id} after the stop`,
  fault: e => `${e.equipment_id} has a fault: ${e.reason}`,
  fault_cleared: e => `fault of ${e.equipment_id} cleared by ${noted(e.user, e.reason)}`,
  fence_raised: e => `${e.equipment_id} had obeyed fence ${e.fence} already, and its locks go on above it`,
  moved_outside: e => `${e.equipment_id} was moved from outside, to ${e.position}`,
  session_created: e => `${e.user} is here`,
  session_suspect: e => `nothing is heard of ${e.user}`,
  session_resumed: e => `${e.user} is heard again`,
  session_ended: e => `${e.user} is gone`,
  session_expired: e => `${e.user} ran out of time`,
};
export function sentence(event) {
  const words = WORDS[event.event];
  return words ? words({ ...event, user: event.user ?? "somebody", by: event.by ?? (event.event === "stopped" ? "the authority" : "somebody") }) : `${event.event} ${event.equipment_id ?? ""}`;
}
