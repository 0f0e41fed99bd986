// Forms that are checked before they are sent, sent in place, and shown again by the server: who
// adds an item or chooses a branch sends the form, and gets it back with one more.

const MOST_MATCHED = 1000; // characters: longer texts are matched by the server alone

export function watchForms() {
  document.addEventListener("submit", onSubmit);
  document.addEventListener("input", onInput);
  document.addEventListener("change", onChange);
  document.addEventListener("keydown", onKey);
  document.addEventListener("toggle", onToggle, true);
  settle(document);
  const first = document.querySelector("form[data-ask] :is(input, select, textarea):not([type=hidden])");
  if (first && !first.closest("details:not([open])")) first.focus({ preventScroll: true });
}

// What a browser does without a script, done better with one: its bubbles name one problem, and
// hide it again.
function settle(root) {
  for (const form of root.querySelectorAll("form[data-ask]")) form.noValidate = true;
  for (const select of root.querySelectorAll("select[data-zone]")) addOwnZone(select);
}

function addOwnZone(select) {
  const minutes = -new Date().getTimezoneOffset();
  if (!minutes) return;
  const two = (number) => String(Math.abs(number)).padStart(2, "0");
  const zone = `${minutes < 0 ? "-" : "+"}${two(Math.trunc(minutes / 60))}:${two(minutes % 60)}`;
  if ([...select.options].some((option) => option.value === zone)) return;
  select.add(new Option(`here (UTC${zone})`, zone));
}

async function onSubmit(event) {
  const form = event.target;
  if (!form.matches("[data-ask]")) return;
  event.preventDefault();
  const what = event.submitter?.value || "send";
  const button = event.submitter;
  if (["send", "json"].includes(what) && !check(form)) return;
  await send(form, what, button);
}

export async function send(form, what, button) {
  const fields = new URLSearchParams(new FormData(form));
  fields.set("do", what);
  const buttons = form.querySelectorAll("button");
  buttons.forEach((each) => (each.disabled = true));
  try {
    const response = await fetch(form.action, { method: "POST", body: fields });
    if (response.redirected) return location.assign(response.url);
    show(form, await response.text(), what, button?.id, response.status);
  } catch {
    tell(form, "The server cannot be reached. What you typed is still here: try again.");
  } finally {
    buttons.forEach((each) => (each.disabled = false));
  }
}

function show(form, html, what, buttonId, status) {
  const page = new DOMParser().parseFromString(html, "text/html");
  const old = document.getElementById("answer");
  const fresh = page.getElementById("answer");
  if (!old || !fresh) return tell(form, page.querySelector("main")?.textContent.trim() || html);
  const focused = document.activeElement?.id;
  const box = document.getElementById("json-box");
  const boxWasOpen = box?.open;
  old.replaceWith(document.adoptNode(fresh));
  settle(fresh);
  keepUnseen(form, fresh);
  const ask = fresh.querySelector("form[data-ask]");
  if (ask) ask.dataset.touched = "";
  const newBox = document.getElementById("json-box");
  if (newBox && what !== "send") newBox.open = newBox.open || boxWasOpen;
  const target =
    (what.startsWith("add ") && lastItem(buttonId)) ||
    fresh.querySelector("[aria-invalid=true]") ||
    (focused && document.getElementById(focused)) ||
    (buttonId && document.getElementById(buttonId));
  target?.focus();
  if (status === 409) fresh.scrollIntoView({ block: "nearest" });
}

// The server sends no secret back: it stays here.
function keepUnseen(form, fresh) {
  for (const words of fresh.querySelectorAll("[data-left-out]")) {
    const name = words.dataset.leftOut;
    const typed = form.elements.namedItem(name)?.value;
    if (!typed) continue;
    words.closest("form").elements.namedItem(name).value = typed;
    words.remove();
  }
}

function lastItem(buttonId) {
  const items = document.getElementById(buttonId)?.parentElement.querySelectorAll(":scope > .item");
  return items?.[items.length - 1]?.querySelector(":is(input, select, textarea):not([type=hidden])");
}

function tell(form, words) {
  let place = form.querySelector(":scope > .problems");
  if (!place) {
    place = document.createElement("ul");
    place.className = "problems";
    place.setAttribute("role", "alert");
    form.prepend(place);
  }
  const line = document.createElement("li");
  line.textContent = words.slice(0, 500);
  place.replaceChildren(line);
}

// --- Checking --------------------------------------------------------------------------------

function check(form) {
  const wrong = [...form.elements].filter((control) => !checkOne(control));
  wrong[0]?.focus();
  return wrong.length === 0;
}

function checkOne(control) {
  if (!control.willValidate || control.type === "hidden") return true;
  control.setCustomValidity(own(control));
  const words = control.validity.valid ? "" : problem(control);
  const place = problemOf(control);
  if (place && (words || control.type !== "radio" || control.checked)) place.textContent = words;
  if (words) control.setAttribute("aria-invalid", "true");
  else control.removeAttribute("aria-invalid");
  return !words;
}

// What the model itself says comes first.
function problem(control) {
  if (control.validity.valueMissing) return say(control.form, "required", {});
  return control.dataset.error || control.validationMessage;
}

function problemOf(control) {
  const ids = (control.getAttribute("aria-describedby") || "").split(" ");
  const id = ids.find((each) => each.endsWith("-problem"));
  return id ? document.getElementById(id) : null;
}

// What the browser does not know of.
function own(control) {
  const { shortest, longest, pattern, least, most, moreThan, lessThan } = control.dataset;
  const text = control.value;
  const words = (name, values) => say(control.form, name, values);
  if (control.form.hasAttribute("data-json") && control.name === "json") return json(text, words);
  if (control.closest("[data-kind=json]")) return text.trim() ? json(text, words) : "";
  if (!text) return "";
  const count = [...text].length;
  const things = (bound) => words(bound === "1" ? "character" : "characters", {});
  if (shortest && count < shortest) return words("shortest", { bound: shortest, things: things(shortest), count });
  if (longest && count > longest) return words("longest", { bound: longest, things: things(longest), count });
  if (pattern && text.length <= MOST_MATCHED && !matches(pattern, text)) return words("mustMatch", { pattern: control.dataset.like });
  // The server reads numbers: what is none here, such as 1,5, it asks about.
  if (least && Number(text) < Number(least)) return words("atLeast", { bound: least });
  if (most && Number(text) > Number(most)) return words("atMost", { bound: most });
  if (moreThan && Number(text) <= Number(moreThan)) return words("moreThan", { bound: moreThan });
  if (lessThan && Number(text) >= Number(lessThan)) return words("lessThan", { bound: lessThan });
  return "";
}

// In the server's words, which come with the form.
function say(form, name, values) {
  return JSON.parse(form.dataset.words)[name].replace(/\{(\w+)\}/g, (_, key) => values[key]);
}

function matches(pattern, text) {
  try {
    return new RegExp(pattern, "u").test(text);
  } catch {
    return true; // the server reads it differently, and decides
  }
}

function json(text, words) {
  try {
    JSON.parse(text);
    return "";
  } catch (error) {
    return words("json", { why: error.message });
  }
}

// --- While typing ----------------------------------------------------------------------------

function onInput(event) {
  const control = event.target;
  const form = control.form;
  if (!form?.matches("[data-ask]")) return;
  form.dataset.touched = "";
  if (control.getAttribute("aria-invalid")) {
    for (const each of form.elements) if (each.name === control.name) checkOne(each);
  }
}

function onChange(event) {
  const control = event.target;
  if (control.matches("[data-again]")) send(control.form, "again", control);
  if (control.matches("[data-submit]")) control.form.requestSubmit();
}

function onKey(event) {
  const control = event.target;
  const sends = event.key === "Enter" && (event.ctrlKey || event.metaKey);
  if (sends && control.matches?.("textarea")) {
    event.preventDefault();
    control.form.requestSubmit(control.form.querySelector("button[name=do]") || undefined);
  }
  if (event.key === "Escape") document.querySelector("details.menu[open]")?.removeAttribute("open");
}

// The JSON box opens with what the fields hold by then.
async function onToggle(event) {
  const box = event.target;
  if (box.id !== "json-box" || !box.open) return;
  const form = box.previousElementSibling;
  const text = box.querySelector("textarea");
  if (!form?.hasAttribute("data-touched") || text.form.hasAttribute("data-touched")) return;
  const fields = new URLSearchParams(new FormData(form));
  fields.set("do", "again");
  const response = await fetch(form.action, { method: "POST", body: fields });
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const fresh = page.getElementById("json");
  if (response.ok && fresh) text.value = fresh.value;
}
