// How the page shows numbers and times; its sentences are the authority's.

export const time = (iso, seconds) => iso ? new Date(iso).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false, ...(seconds && { second: "2-digit" }) }) : "";
export const since = iso => { const day = new Date(iso); return day.toDateString() === new Date().toDateString() ? time(iso) : `${day.toLocaleDateString([], { day: "numeric", month: "short" })} ${time(iso)}`; };
export const noted = (who, note) => (who ?? "somebody") + (note ? ` (${note})` : "");
export const value = v => typeof v === "boolean" ? (v ? "on" : "off") : typeof v === "number" ? String(Number(v.toPrecision(6))) : String(v);
export const given = parameters => Object.entries(parameters ?? {}).map(([key, v]) => `${key}=${value(v)}`).join(", ");
// A time in a sentence of the authority is an ISO instant.
export const local = text => text.replace(/\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)/g, at => since(at));
export const said = event => event.text ?? `${event.event.replaceAll("_", " ")}: ${event.equipment_id ?? event.user}`;  // stored before texts were
