// One stream of events for a page. It keeps the last id that it has seen and asks for what came after it, so that no
// event is lost or shown twice: not by a dropped line, a restarted server, a refused connection or a hidden tab.

const POLL_MS = 5000; // where streams do not pass
const RETRY_MS = 1500;

export function listen(topics, mark, onEvent) {
  let after = mark;
  let source = null;
  let timer = 0;
  let failures = 0;

  const address = (more = "") =>
    `/api/events?topic=${encodeURIComponent(topics)}&after=${encodeURIComponent(after)}${more}`;

  function open() {
    close();
    if (failures >= 3) { poll(); return; }
    source = new EventSource(address());
    source.onopen = () => { failures = 0; };
    source.onmessage = (message) => {
      after = message.lastEventId || after;
      onEvent(JSON.parse(message.data));
    };
    source.onerror = () => {
      // The browser repeats a broken line by itself, with Last-Event-ID; a refusal ends it, and then we begin anew.
      if (source.readyState !== EventSource.CLOSED) return;
      failures += 1;
      close();
      timer = setTimeout(open, RETRY_MS);
    };
  }

  async function poll() {
    try {
      const answer = await fetch(address("&wait=false"));
      if (answer.ok) {
        const { data, after: next } = await answer.json();
        after = next;
        data.forEach(onEvent);
        failures = 0;
      }
    } catch { /* the server is away; the next turn asks again */ }
    timer = setTimeout(failures ? poll : open, POLL_MS);
  }

  function close() {
    clearTimeout(timer);
    source?.close();
    source = null;
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
  if (!document.hidden) open();
}
