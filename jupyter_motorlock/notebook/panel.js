// What the browser does by itself: it reads news aloud, notifies once when it is one's turn, and keeps STOP in view.
// Each change of a panel brings an element `news`; what people wrote is in its data attributes and is only text here.
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
  window.motorlockFollow(panel, news);
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

// What this kernel holds, and what moves, has a line with its STOP at the notebook's lower edge for as long as every
// panel of it is out of sight. The STOP of the line clicks that of the panel, and says so when nobody answers.
const ANSWER_MS = 3000, SHOW_ANSWER_MS = 5000;
window.motorlockPanels ??= new Set();
window.motorlockNotebooks ??= new Map();  // by the panel's mark: where the panel is, of which a docked one is a copy
window.motorlockSight ??= new IntersectionObserver((changes) => {
  for (const { target, isIntersecting } of changes) target.motorlockInSight = isIntersecting;
  window.motorlockFloat();
});
window.motorlockStatus ??= new MutationObserver(() => window.motorlockKernels());
window.motorlockStatus.observe(document.body, { subtree: true, attributes: true, attributeFilter: ['data-status'] });
window.motorlockNotebook = (panel) =>
  panel.closest('.jp-NotebookPanel') ?? window.motorlockNotebooks.get(panel.motorlockNews?.mark);
window.motorlockFollow = (panel, news) => {
  const stop = panel.querySelector('.motorlock-stop'), notebook = panel.closest('.jp-NotebookPanel');
  if (!stop) return;
  panel.motorlockNews = { ...news.dataset };
  if (notebook) window.motorlockNotebooks.set(news.dataset.mark, notebook);
  panel.closest('.motorlock').querySelectorAll('.ml-dock').forEach((link) => {
    link.hidden = !notebook || !document.querySelector('.jp-LabShell');
  });
  if (!window.motorlockPanels.has(panel)) {
    window.motorlockPanels.add(panel);
    window.motorlockSight.observe(stop);
  }
  window.motorlockFloat();
};
window.motorlockFloat = () => {
  const alive = [];
  for (const panel of window.motorlockPanels) {
    if (!panel.isConnected) window.motorlockPanels.delete(panel);
    else if (!panel.closest('.jupyter-widgets-disconnected')) alive.push(panel);
  }
  for (const notebook of document.querySelectorAll('.jp-NotebookPanel')) {
    const mine = alive.filter((panel) => window.motorlockNotebook(panel) === notebook);
    const inSight = (panel) => panel.querySelector('.motorlock-stop').motorlockInSight;
    const seen = new Set(mine.filter(inSight).map((panel) => panel.motorlockNews.name));
    const away = mine.filter(({ motorlockNews: { name, floats } }) => floats && !seen.has(name));
    const panels = new Map(away.map((panel) => [panel.motorlockNews.name, panel]));
    let bar = notebook.querySelector(':scope > .ml-float');
    if (!bar && panels.size) {
      bar = notebook.appendChild(document.createElement('div'));
      bar.className = 'ml-float';
    }
    for (const line of [...bar?.children ?? []]) if (!panels.has(line.dataset.name)) line.remove();
    for (const [name, panel] of panels) window.motorlockLine(bar, name, panel);
  }
};
window.motorlockLine = (bar, name, panel) => {
  let line = [...bar.children].find((one) => one.dataset.name === name);
  if (!line) {
    line = bar.appendChild(document.createElement('div'));
    line.dataset.name = name;
    const [title, text, stop] = ['button', 'span', 'button'].map((tag) => line.appendChild(document.createElement(tag)));
    title.textContent = name;
    title.title = `Show the panel of ${name}`;
    title.onclick = () => line.motorlockPanel.scrollIntoView({ block: 'center' });
    stop.textContent = 'STOP';
    stop.title = `STOP ${name} now, whoever has it`;
    stop.setAttribute('aria-label', `STOP ${name}`);
    stop.onclick = () => window.motorlockStop(line);
  }
  line.motorlockPanel = panel;
  const { answers, answer } = panel.motorlockNews;
  if (line.motorlockAsked !== undefined && answers !== line.motorlockAsked) {
    line.motorlockAsked = undefined;
    line.motorlockUntil = Date.now() + SHOW_ANSWER_MS;
    setTimeout(window.motorlockFloat, SHOW_ANSWER_MS + 10);
  }
  if (line.motorlockAsked !== undefined) return;
  const reading = panel.querySelector('.ml-pos')?.textContent ?? '';
  line.children[1].textContent = Date.now() < line.motorlockUntil ? answer : reading;
};
window.motorlockStop = (line) => {
  const asked = line.motorlockAsked = line.motorlockPanel.motorlockNews.answers;
  line.children[1].textContent = 'STOP is on its way …';
  line.motorlockPanel.querySelector('.motorlock-stop').click();
  setTimeout(() => {
    if (line.motorlockAsked !== asked) return;
    line.children[1].textContent = "No answer: use STOP on the authority's page, or the hardware stop.";
  }, ANSWER_MS);
};

// One click has JupyterLab show the panel once more, beside the notebook: its own "Create New View for Cell Output",
// chosen from the menu that a right click opens, because a page can ask JupyterLab for nothing. The copy cannot see
// what JupyterLab says of the kernel; here it is told.
window.motorlockDock = async (link) => {
  const panel = link.closest('.motorlock'), { left, top } = panel.getBoundingClientRect();
  const press = (element, x, y, ...kinds) => kinds.forEach((kind) => {
    const Kind = kind.startsWith('pointer') ? PointerEvent : MouseEvent;
    element.dispatchEvent(new Kind(kind, { bubbles: true, cancelable: true, clientX: x, clientY: y }));
  });
  press(panel, left + 8, top + 8, 'contextmenu');
  for (let tries = 0; tries < 50; tries += 1) {
    const entry = document.querySelector('.lm-Menu-item[data-command="notebook:create-output-view"]');
    const place = entry?.getBoundingClientRect();
    if (place?.width) {
      const kinds = ['pointermove', 'mousemove', 'pointerdown', 'mousedown', 'pointerup', 'mouseup'];
      return press(entry, place.left + 8, place.top + 8, ...kinds);
    }
    await new Promise((go) => setTimeout(go, 20));
  }
};
window.motorlockKernels = () => {
  for (const panel of window.motorlockPanels) {
    const page = panel.closest('.motorlock'), notebook = window.motorlockNotebook(panel);
    if (!page || page.closest('.jp-NotebookPanel')) continue;
    page.classList.toggle('ml-kernel-gone', !!notebook?.querySelector('[data-status="unknown"], [data-status="dead"]'));
    page.classList.toggle('ml-kernel-apart', !!notebook?.querySelector('[data-status="disconnected"]'));
  }
};
window.motorlockTellAll();
