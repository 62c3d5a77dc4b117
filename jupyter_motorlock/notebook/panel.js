// What the browser does by itself: it reads news aloud and notifies once when it is one's turn. Each change of a
// panel brings an element `news`; what people wrote is in its data attributes and is only ever text here.
window.motorlockTell = (news) => {
  const panel = news.closest('.motorlock-one'), page = news.closest('.motorlock');
  if (!panel || !page) return;
  const { name, said, turn, headline } = news.dataset;
  panel.setAttribute('role', 'group');
  panel.setAttribute('aria-label', name);
  panel.querySelector('.motorlock-stop')?.setAttribute('aria-label', `STOP ${name}`);
  const aloud = page.querySelector('.ml-aloud');
  if (aloud && (panel.dataset.said ?? '') !== said) aloud.textContent = panel.dataset.said = said;
  const allowed = window.Notification?.permission;
  page.querySelectorAll('.ml-notify').forEach((link) => {
    link.hidden = !allowed;
    link.disabled = allowed !== 'default';
    link.textContent = {
      default: 'Notify me in this browser when it is my turn',
      granted: 'This browser notifies you when it is your turn.',
      denied: 'This browser does not allow notifications from here.',
    }[allowed] ?? '';
  });
  try {  // a browser may have no storage, or let only workers notify
    const kept = `motorlock-turn ${name}`;
    if (!turn || allowed !== 'granted' || localStorage.getItem(kept) === turn) return;
    localStorage.setItem(kept, turn);
    new Notification(`${name}: your turn`, { body: headline, tag: `${kept} ${turn}` });
  } catch { }
};
window.motorlockTellAll = () => document.querySelectorAll('.motorlock .ml-news').forEach(window.motorlockTell);
window.motorlockNotify = (link) => {
  const told = window.Notification?.requestPermission();
  if (told) told.then(window.motorlockTellAll);
};
window.motorlockTellAll();
