"use strict";

/* The reader's choices stand in the page's address, so that a copied link shows the same page. */

function savedChoice(name) {
  return new URLSearchParams(location.search).get(name);
}

function saveChoice(name, value) {
  const choices = new URLSearchParams(location.search);
  if (value) choices.set(name, value);
  else choices.delete(name);
  const text = choices.toString();
  const query = text ? "?" + text : location.pathname;
  history.replaceState(null, "", query + location.hash);
}
