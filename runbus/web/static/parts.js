// Taking parts of a page that was fetched: only what changed is touched, so nothing jumps and
// nothing loses the focus.

export function take(html, selector, also) {
  const page = new DOMParser().parseFromString(html, "text/html");
  also?.(page);
  document.title = page.title;
  for (const old of document.querySelectorAll(selector)) {
    const fresh = page.getElementById(old.id);
    if (fresh) update(old, fresh);
  }
}

function update(old, fresh) {
  if (same(old, fresh)) return;
  old.hidden = fresh.hidden;
  const oldList = old.querySelector(":scope > ul:has(> [data-key])");
  const freshList = fresh.querySelector(":scope > ul:has(> [data-key])");
  if (oldList && freshList) updateList(oldList, freshList);
  else keepingFocus(() => replaceWithin(old, fresh));
}

function updateList(old, fresh) {
  const known = new Map([...old.children].map((item) => [item.dataset.key, item]));
  // First, so that nothing that stays is moved: a moved element loses the focus.
  const kept = new Set([...fresh.children].map((item) => item.dataset.key));
  for (const [key, item] of known) if (!kept.has(key)) item.remove();
  let place = old.firstElementChild;
  for (const item of [...fresh.children]) {
    let mine = known.get(item.dataset.key);
    if (!mine) {
      mine = document.adoptNode(item);
      mine.classList.add("new");
    } else if (!same(mine, item)) {
      keepingFocus(() => replaceWithin(mine, item));
    }
    if (mine === place) place = place.nextElementSibling;
    else old.insertBefore(mine, place);
  }
}

function replaceWithin(old, fresh) {
  const open = new Set([...old.querySelectorAll("details[open][id]")].map((each) => each.id));
  old.replaceChildren(...[...fresh.childNodes].map((node) => document.adoptNode(node)));
  for (const details of old.querySelectorAll("details[id]")) {
    if (open.has(details.id)) details.open = true;
  }
}

function keepingFocus(change) {
  const focused = document.activeElement;
  const link = focused?.getAttribute?.("href");
  change();
  if (!focused || focused.isConnected || focused === document.body) return;
  const again =
    (focused.id && document.getElementById(focused.id)) ||
    (link && document.querySelector(`main a[href="${CSS.escape(link)}"]`));
  again?.focus({ preventScroll: true });
}

// Times are words that each look finds changed; they go on by themselves.
function same(one, other) {
  return plain(one) === plain(other);
}

function plain(element) {
  const copy = element.cloneNode(true);
  for (const time of copy.querySelectorAll("time")) {
    time.textContent = "";
    time.className = "";
  }
  for (const item of copy.querySelectorAll(".new")) item.classList.remove("new");
  copy.classList.remove("new");
  return copy.outerHTML.replace(/ class=""/g, "").replace(/\s+/g, " ");
}
