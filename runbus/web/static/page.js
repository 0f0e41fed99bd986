// What the pages do beyond links and forms, which work without it: parts that refresh by
// themselves, forms that are checked and sent in place, and times that go on.

import { send, watchForms } from "./forms.js";
import { hear, isSilent, isStale, markFresh, markStale } from "./freshness.js";
import { take } from "./parts.js";
import { watchTimes } from "./times.js";

const QUIET = 150; // ms: a burst of events is one look
const SELDOM = 1000; // ms between looks
const ASIDE = 10000; // ms between looks at a run for what happens to others
const LONGEST = 10000; // ms for one look
const CUT = "The connection is lost.";
const AWAY = "The store cannot be reached.";
const CHANGED = "This question was asked again: it has changed, or an answer to it was refused.";

let source = null;
let timer = 0;
let due = 0;
let looked = 0;
let isOpen = false;

function lookSoon(between = SELDOM) {
  const at = Math.max(Date.now() + QUIET, looked + between);
  if (timer && due <= at) return;
  clearTimeout(timer);
  due = at;
  timer = setTimeout(look, at - Date.now());
}

// The page of a run shows its children too, which are other runs: those may wait.
function onState(event) {
  const mine = new URL(document.body.dataset.events, location.href).searchParams.get("run");
  lookSoon(mine && JSON.parse(event.data).run !== mine ? ASIDE : SELDOM);
}

async function look() {
  timer = 0;
  looked = Date.now();
  try {
    // What was posted and refused stands at an address of its own, which cannot be read.
    const response = await fetch(document.body.dataset.page || location.href, {
      headers: { Accept: "text/html" },
      signal: AbortSignal.timeout(LONGEST),
    });
    if (response.redirected) return location.assign(response.url); // logged out
    if (response.status === 503) return markStale(AWAY);
    if (!response.ok) return;
    if (document.querySelector("[data-away]")) return location.assign(location.href);
    take(await response.text(), "[data-live]", askAnew);
    if (isOpen) markFresh();
  } catch {
    markStale(CUT); // the stream says when the server is back
  }
}

// The question that a run asks may be another by now. A form that nobody touched follows it; one
// with something typed in it stays, and the server says who was first when it is sent. Where the
// same question is asked again, it gives the new form with what was typed.
function askAnew(page) {
  const old = document.querySelector("[data-question]");
  const fresh = page.querySelector("[data-question]");
  if (!old || !fresh || old.dataset.question === fresh.dataset.question) return;
  const typed = old.querySelector("form[data-touched]");
  if (typed && keyOf(old) && keyOf(old) === keyOf(fresh)) return showLate(old, CHANGED, typed);
  if (typed) {
    old.querySelector("form").classList.add("late");
    showLate(old, fresh.dataset.late || "Somebody else has answered this.");
    return;
  }
  old.replaceWith(document.adoptNode(fresh));
}

// The key without the generation.
function keyOf(section) {
  return section.dataset.question.replace(/ ?\d+$/, "");
}

function showLate(section, why, changed) {
  const said = `${why} What you typed is still here.`;
  const before = section.querySelector("#late");
  if (before?.firstChild.textContent === said) return;
  before?.remove();
  const words = document.createElement("p");
  words.id = "late";
  words.className = "notice";
  words.setAttribute("role", "status");
  words.append(said);
  if (changed) words.append(" ", newForm(changed));
  section.prepend(words);
}

// The form is of the old question, so what is sent here is not taken as an answer.
function newForm(form) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "small";
  button.textContent = "Show the new question";
  button.onclick = () => send(form, form.hasAttribute("data-json") ? "json" : "again", button);
  return button;
}

function addLine(event) {
  const log = document.getElementById("log");
  if (!log) return;
  const line = JSON.parse(event.data);
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  const item = document.createElement("li");
  item.className = line.level.toLowerCase();
  const time = document.createElement("time");
  time.dateTime = line.time;
  time.dataset.clock = "";
  time.textContent = line.time.slice(11, 19);
  const level = document.createElement("b");
  level.textContent = line.level;
  const words = document.createElement("span");
  words.textContent = line.message;
  item.append(time, " ", level, " ", words);
  log.append(item);
  if (log.children.length > 2000) log.firstElementChild.remove();
  if (atEnd) log.scrollTop = log.scrollHeight;
  lastLine = event.lastEventId;
}

let lastLine = "";

function listen() {
  const path = document.body.dataset.events;
  if (!path || source) return;
  const url = new URL(path, location.href);
  if (lastLine) url.searchParams.set("after", lastLine);
  hear();
  source = new EventSource(url);
  source.addEventListener("open", () => {
    isOpen = true;
    hear();
    if (isStale()) lookSoon();
  });
  source.addEventListener("error", () => {
    markStale(CUT);
    isOpen = false;
    if (source?.readyState !== EventSource.CLOSED) return;
    stop();
    lookSoon(); // who is logged out is told
    setTimeout(listen, 3000);
  });
  on("alive", () => {});
  on("away", () => markStale(AWAY));
  on("log", addLine);
  on("input", () => lookSoon());
  on("resync", () => lookSoon());
  on("state", onState);
}

function on(name, act) {
  source.addEventListener(name, (event) => {
    hear();
    act(event);
  });
}

function stop() {
  source?.close();
  source = null;
  isOpen = false;
}

// A connection that was cut without a word is open for ever, and says nothing.
function checkSilence() {
  if (!source || !isSilent()) return;
  markStale(CUT);
  stop();
  listen();
}

// A browser opens few connections to one site: a page that nobody sees gives its own back.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    stop();
  } else {
    listen();
    lookSoon();
  }
});

watchTimes();
watchForms();
listen();
setInterval(checkSilence, 1000);
if (document.querySelector("[data-away]")) lookSoon();
const log = document.getElementById("log");
if (log) log.scrollTop = log.scrollHeight;
