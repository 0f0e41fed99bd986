// Times in words, which go on by themselves.

const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
const SOON = 300; // seconds

function length(seconds) {
  for (const [size, unit] of UNITS) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
  }
  return "0 s";
}

function say(time) {
  const seconds = (new Date(time.dateTime).getTime() - Date.now()) / 1000;
  if ("ago" in time.dataset) return -seconds < 1 ? "now" : `${length(-seconds)} ago`;
  time.classList.toggle("soon", seconds < SOON);
  return seconds > 0 ? `${length(seconds)} left` : "time is over";
}

function update() {
  for (const time of document.querySelectorAll("time[data-ago], time[data-left]")) {
    const words = say(time);
    if (time.textContent !== words) time.textContent = words;
  }
  for (const time of document.querySelectorAll("time[data-clock]")) {
    delete time.dataset.clock;
    const moment = new Date(time.dateTime);
    time.textContent = moment.toLocaleTimeString([], { hourCycle: "h23" });
    time.title = moment.toLocaleString();
  }
}

export function watchTimes() {
  update();
  setInterval(update, 1000);
}
