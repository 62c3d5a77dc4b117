"use strict";
const METHODS = ["get", "post", "put", "patch", "delete"];
const find = id => document.getElementById(id);
let api = {};

function element(tag, name, ...inside) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  made.append(...inside.filter(part => part !== undefined && part !== null && part !== ""));
  return made;
}
function resolve(schema) {
  if (!schema?.$ref) return schema ?? {};
  return schema.$ref.slice(2).split("/").reduce((part, key) => part?.[decodeURIComponent(key).replaceAll("~1", "/").replaceAll("~0", "~")], api) ?? {};
}
function type(schema) {  // a short description, with links to the objects it names
  if (schema === undefined || schema === true) return ["anything"];
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop(), link = element("a", "", name);
    link.href = `#object-${name}`;
    return [link];
  }
  const any = schema.anyOf ?? schema.oneOf;
  if (any) return any.flatMap((one, place) => place ? [" or ", ...type(one)] : type(one));
  if (schema.allOf) return schema.allOf.flatMap(type);
  if (schema.enum) return [schema.enum.map(one => JSON.stringify(one)).join(" or ")];
  if (schema.const !== undefined) return [JSON.stringify(schema.const)];
  if (schema.type === "array") return ["list of ", ...type(schema.items)];
  return [[schema.type ?? "anything"].flat().join(" or ") + limits(schema)];
}
function limits(schema) {
  const said = { minimum: "≥", exclusiveMinimum: ">", maximum: "≤", exclusiveMaximum: "<", maxLength: "length ≤", minLength: "length ≥", format: "" };
  const parts = Object.entries(said).filter(([key]) => key in schema).map(([key, sign]) => `${sign} ${schema[key]}`.trim());
  return parts.length ? ` (${parts.join(", ")})` : "";
}
function fields(schema) {
  const whole = resolve(schema), rows = Object.entries(whole.properties ?? {});
  if (!rows.length) return element("p", "", ...type(schema));
  return table(["field", "type", "default", ""], rows.map(([name, field]) => [
    element("code", "", name), element("span", "", ...type(field)),
    whole.required?.includes(name) ? "required" : field.default === undefined ? "" : JSON.stringify(field.default), field.description ?? ""]));
}
function table(heads, rows) {
  const head = element("tr", "", ...heads.map(text => element("th", "dim", text)));
  return element("div", "wide", element("table", "", head, ...rows.map(row => element("tr", "", ...row.map(cell => element("td", "", cell))))));
}
function schemaOf(content) { return Object.values(content?.content ?? {})[0]?.schema; }
function operation(path, method, said, shared) {
  const shown = element("details", "", element("summary", "", element("span", "method", method.toUpperCase()), element("span", "path", path), " ", element("span", "dim", said.summary)));
  shown.dataset.words = `${method} ${path} ${said.summary ?? ""} ${said.description ?? ""}`.toLowerCase();
  if (said.description) shown.append(element("p", "", said.description));
  const parameters = [...shared, ...(said.parameters ?? [])].map(resolve);
  if (parameters.length) shown.append(element("h3", "", "Parameters"), table(["name", "where", "type", ""], parameters.map(one =>
    [element("code", "", one.name), one.in + (one.required ? ", required" : ""), element("span", "", ...type(one.schema)), one.description ?? ""])));
  if (said.requestBody) shown.append(element("h3", "", "Body"), fields(schemaOf(resolve(said.requestBody))));
  shown.append(element("h3", "", "Answers"), table(["status", "what", "body"], Object.entries(said.responses ?? {}).map(([status, answer]) => {
    const body = schemaOf(resolve(answer));
    return [status, resolve(answer).description ?? "", body ? element("span", "", ...type(body)) : ""];
  })));
  return shown;
}
function render() {
  find("title").textContent = `${api.info?.title ?? "motorlock"} ${api.info?.version ?? ""}`;
  find("about").replaceChildren(`${api.info?.description ?? "The REST interface."} `, Object.assign(element("a", "", "openapi.json"), { href: "openapi.json" }));
  const groups = new Map();
  for (const [path, methods] of Object.entries(api.paths ?? {})) for (const method of METHODS) {
    if (!methods[method]) continue;
    const tag = methods[method].tags?.[0] ?? "", group = groups.get(tag) ?? element("section", "", tag ? element("h2", "", tag) : null);
    group.append(operation(path, method, methods[method], methods.parameters ?? []));
    groups.set(tag, group);
  }
  find("operations").replaceChildren(...groups.values());
  find("objects").replaceChildren(...Object.entries(api.components?.schemas ?? {}).map(([name, schema]) => {
    const shown = element("details", "", element("summary", "", element("span", "path", name)), schema.description ? element("p", "", schema.description) : null, fields(schema));
    shown.id = `object-${name}`;
    return shown;
  }));
}
function filter() {
  const words = find("filter").value.toLowerCase().split(/\s+/);
  for (const shown of find("operations").querySelectorAll("details")) shown.hidden = !words.every(word => shown.dataset.words.includes(word));
  for (const group of find("operations").children) group.hidden = !group.querySelector("details:not([hidden])");
}
addEventListener("hashchange", () => { const shown = find(decodeURIComponent(location.hash.slice(1))); if (shown) shown.open = true; });
find("filter").addEventListener("input", filter);
fetch(new URL("openapi.json", document.baseURI)).then(reply => { if (!reply.ok) throw new Error(reply.status); return reply.json(); })
  .then(document_ => { api = document_; render(); }).catch(error => { find("about").textContent = `openapi.json cannot be read (${error.message}): is the authority running?`; });
