// The home page's script: fills in the address that this browser uses, chooses lines to paste, and tries a chat route.
// Whatever comes from elsewhere goes into the page as text, never as markup.
"use strict";

const byId = (id) => document.getElementById(id);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// Behind a balancer the page may be below a path; the gateway says which, where the balancer says so.
function prefix() {
  const known = document.querySelector("meta[name=sidecar-prefix]").content;
  const path = new URL(".", location.href).pathname;
  return known || (/^(?:\/[A-Za-z0-9._~-]+)*\/$/.test(path) ? path.slice(0, -1) : "");
}
const BASE = location.origin + prefix();

function fillIn(root) {
  const port = location.port || (location.protocol === "https:" ? "443" : "80");
  all("[data-fill=base]", root).forEach((place) => { place.textContent = BASE; });
  all("[data-fill=host]", root).forEach((place) => { place.textContent = `${location.hostname}:${port}`; });
  all("[data-over]", root).forEach((place) => {
    if (place.dataset.over === location.protocol) place.hidden = false;
    else place.remove();
  });
}

function chooseLines() {
  const select = byId("call-route");
  if (!select) return;
  const shown = () => {
    const task = select.selectedOptions[0].dataset.task;
    all(".doors").forEach((panel) => { panel.hidden = panel.dataset.task !== task; });
    all("[data-fill=route]").forEach((place) => {
      if (place.closest(".doors").dataset.task === task) place.textContent = select.value;
    });
  };
  select.addEventListener("change", shown);
  shown();
  all(".doors").forEach((panel) => panel.addEventListener("change", (event) => {
    all(".lines", panel).forEach((lines) => { lines.hidden = lines.dataset.door !== event.target.value; });
  }));
  all("button.copy").forEach((button) => button.addEventListener("click", async () => {
    const code = button.closest(".lines").querySelector("pre");
    try {
      await navigator.clipboard.writeText(code.innerText);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "Press Ctrl+C";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  }));
}

// The events of a stream, as they come: each is the text after "data:".
async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    const events = rest.split(/\r?\n\r?\n/);
    rest = events.pop();
    for (const event of events) {
      const data = event.split(/\r?\n/).filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart());
      if (data.length) yield data.join("\n");
    }
  }
}

function wordsOf(error) {
  return (error && (error.message || error.detail)) || "The call failed.";
}

async function refusalOf(answer) {
  const text = await answer.text();
  try {
    const body = JSON.parse(text);
    return `${answer.status}: ${wordsOf(body.error || body)}`;
  } catch {
    return `${answer.status}: ${text.slice(0, 500) || "The call failed."}`;
  }
}

// Sends one chat; `add` gets each piece of the answer. Gives the headers and what the provider counted.
async function chat(route, prompt, signal, add) {
  const answer = await fetch(`${BASE}/v1/chat/completions`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({
      model: route,
      messages: [{ role: "user", content: prompt }],
      stream: true,
      stream_options: { include_usage: true },
    }),
    signal,
  });
  if (!answer.ok) throw new Error(await refusalOf(answer));
  let usage = null;
  for await (const event of eventsOf(answer.body)) {
    if (event === "[DONE]") return { headers: answer.headers, usage };
    const chunk = JSON.parse(event);
    if (chunk.error) throw new Error(wordsOf(chunk.error));
    usage = chunk.usage || usage;
    for (const choice of chunk.choices || []) add((choice.delta && (choice.delta.content || choice.delta.refusal)) || "");
  }
  throw new Error("The answer broke off.");
}

function summary(result, firstMs, wholeMs) {
  const parts = [`Done in ${(wholeMs / 1000).toFixed(1)} s`];
  if (firstMs !== null) parts.push(`first output after ${(firstMs / 1000).toFixed(2)} s`);
  if (result.usage) parts.push(`${result.usage.prompt_tokens} tokens in, ${result.usage.completion_tokens} out`);
  const upstream = result.headers.get("x-sidecar-upstream");
  const leftOut = result.headers.get("x-sidecar-left-out");
  if (upstream) parts.push(`answered by ${upstream}`);
  if (leftOut) parts.push(`left out: ${leftOut}`);
  return `${parts.join("; ")}.`;
}

function tryBox() {
  const form = byId("try-form");
  if (!form) return;
  const [prompt, answer, status, send, stop] =
    ["try-prompt", "try-answer", "try-status", "try-send", "try-stop"].map(byId);
  let calling = null;

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (calling) return;
    calling = new AbortController();
    const began = performance.now();
    let firstMs = null;
    send.disabled = true;
    stop.disabled = false;
    answer.textContent = "";
    answer.classList.remove("failed");
    answer.setAttribute("aria-busy", "true");
    status.textContent = "Waiting for the first output.";
    const add = (piece) => {
      if (!piece) return;
      if (firstMs === null) {
        firstMs = performance.now() - began;
        status.textContent = "The answer is coming.";
      }
      const atEnd = answer.scrollHeight - answer.scrollTop - answer.clientHeight < 8;
      answer.append(piece);
      if (atEnd) answer.scrollTop = answer.scrollHeight;
    };
    try {
      const result = await chat(byId("try-route").value, prompt.value, calling.signal, add);
      status.textContent = summary(result, firstMs, performance.now() - began);
    } catch (error) {
      if (error.name === "AbortError") {
        status.textContent = "Stopped.";
      } else {
        answer.classList.add("failed");
        answer.append(`${answer.textContent ? "\n\n" : ""}${error.message}`);
        status.textContent = "The call failed.";
      }
    } finally {
      calling = null;
      send.disabled = false;
      stop.disabled = true;
      answer.removeAttribute("aria-busy");
    }
  });
  stop.addEventListener("click", () => { if (calling) calling.abort(); });
  prompt.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
}

fillIn(document);
chooseLines();
tryBox();
