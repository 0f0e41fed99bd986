// Whether what is shown is as the store has it: what may be old by now is marked as that.

const SILENT = 12000; // ms: the server says each 5 s that it is there

let heard = Date.now();

export function hear() {
  heard = Date.now();
}

export function isSilent() {
  return Date.now() - heard > SILENT;
}

export function isStale() {
  return document.body.classList.contains("stale");
}

export function markStale(why) {
  const place = document.getElementById("lost");
  if (!isStale()) place.dataset.since = new Date(heard).toLocaleTimeString([], { hourCycle: "h23" });
  document.body.classList.add("stale");
  const words = `${why} What you see is as it was at ${place.dataset.since}. Trying again …`;
  if (place.textContent !== words) place.textContent = words;
  place.hidden = false;
}

export function markFresh() {
  document.body.classList.remove("stale");
  document.getElementById("lost").hidden = true;
}
