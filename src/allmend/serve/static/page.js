// Continues a sentence by streaming from /v1/completions, then shows which training documents hold its runs of words.
// Text from the model, the reader and the documents only ever becomes text nodes, never markup.

const byId = (id) => document.getElementById(id);
const form = byId("ask");
let running = null;

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function say(message) {
  byId("status").textContent = message;
}

async function failure(response) {
  try {
    return (await response.json()).error.message;
  } catch {
    return `the server answered ${response.status}.`;
  }
}

async function post(path, body, signal) {
  const response = await fetch(path, {
    method: "POST", signal, headers: { "content-type": "application/json" }, body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(await failure(response));
  return response;
}

// The JSON of each `data:` event, until `[DONE]`.
async function* events(response) {
  let held = "";
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new Error("the answer broke off.");
    const parts = (held + value).split("\n\n");
    held = parts.pop();
    for (const part of parts) {
      const data = part.replace(/^data: /, "");
      if (data === "[DONE]") return;
      const event = JSON.parse(data);
      if (event.error) throw new Error(event.error.message);
      yield event;
    }
  }
}

async function write(text, signal, show) {
  const response = await post("/v1/completions", {
    model: form.dataset.model, prompt: text, stream: true, max_tokens: 64,
    temperature: Number(byId("temperature").value),
  }, signal);
  let written = "";
  for await (const event of events(response)) {
    written += event.choices[0]?.text ?? "";
    show(written);
  }
  return written;
}

// The text with its spans marked, each leading to its place in the list. Offsets are characters, not UTF-16 units.
function markedText(prompt, written, spans) {
  const characters = Array.from(prompt + written);
  const yours = Array.from(prompt).length;
  const plain = (begin, end) => [
    element("span", { className: "yours" }, characters.slice(begin, Math.min(end, yours)).join("")),
    characters.slice(Math.max(begin, yours), end).join(""),
  ];
  const pieces = [];
  let place = 0;
  spans.forEach((span, index) => {
    const begin = Math.max(place, span.begin); // spans may overlap
    if (begin >= span.end) return;
    const link = element("a", { href: `#span-${index + 1}` }, ...plain(begin, span.end));
    pieces.push(...plain(place, begin), element("mark", {}, link));
    place = span.end;
  });
  return [...pieces, ...plain(place, characters.length)];
}

function sourceItem(source) {
  const address = `/documents/${encodeURIComponent(source.document)}?span=${encodeURIComponent(source.text)}#span`;
  const about = [source.language, source.licence || "licence unknown"].filter(Boolean).join(" · ");
  return element("li", {},
    element("a", { href: address }, source.url || source.document),
    element("span", { className: "quiet" }, ` ${about}`),
    element("span", { className: "context", dir: "auto" },
      source.before && `… ${source.before}`, element("mark", {}, source.text), source.after && `${source.after} …`));
}

function spanItem(span, index) {
  const places = span.occurrences === 1 ? "once" : `${span.occurrences.toLocaleString("en")} times`;
  return element("li", { id: `span-${index + 1}` },
    element("q", { dir: "auto" }, span.text), element("span", { className: "quiet" }, ` stands ${places} in the training text`),
    element("ul", {}, ...span.sources.map(sourceItem)));
}

async function showSources(prompt, written, signal) {
  const { spans } = await (await post("/v1/trace", { text: prompt + written }, signal)).json();
  byId("output").replaceChildren(...markedText(prompt, written, spans));
  byId("spans").replaceChildren(...spans.map(spanItem));
  byId("sources-note").textContent = spans.length
    ? "These runs of words, yours or the model's, stand word for word in documents that were read in training. That is where words came from, not proof that anything is true."
    : "No run of three or more words stands word for word in a training document.";
  byId("sources").hidden = false;
  return spans.length;
}

async function run() {
  running?.abort();
  const controller = running = new AbortController();
  const text = byId("text").value;
  byId("go").disabled = true;
  byId("stop").disabled = false;
  byId("answer").hidden = false;
  byId("sources").hidden = true;
  let written = "";
  const show = (more) => {
    written = more;
    byId("output").replaceChildren(element("span", { className: "yours" }, text), more);
  };
  show("");
  say("Writing …");
  try {
    await write(text, controller.signal, show);
    await finish(text, written, controller.signal, "Done.");
  } catch (error) {
    if (error.name === "AbortError") await finish(text, written, undefined, "Stopped.").catch((e) => say(`Stopped. ${e.message}`));
    else say(`That didn't work: ${error.message}`);
  } finally {
    byId("go").disabled = false;
    byId("stop").disabled = true;
  }
}

async function finish(prompt, written, signal, word) {
  if (form.dataset.trace !== "yes" || !(prompt + written).trim()) return say(word);
  say(`${word} Looking for training documents …`);
  const count = await showSources(prompt, written, signal);
  say(`${word} ${count === 1 ? "One run" : `${count} runs`} of words found in training documents.`);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  run();
});
byId("stop").addEventListener("click", () => running?.abort());
byId("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});
