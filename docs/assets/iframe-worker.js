// A browser starts no worker from a file: address, and the site's search runs in one. Opened as files, the site gets this one in
// place of Worker: the same script in a hidden frame, which talks by postMessage as a worker does. By http nothing changes.
if (location.protocol === "file:") {
  window.IFrameWorker = window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.appendChild(this.frame);
      this.waiting = [];
      window.addEventListener("message", (event) => {
        if (event.source !== this.frame.contentWindow) return;
        if (event.data === "the frame is ready") {
          this.waiting.forEach((data) => this.send(data));
          this.waiting = null;
          return;
        }
        const message = new MessageEvent("message", { data: event.data });
        this.dispatchEvent(message);
        if (this.onmessage) this.onmessage(message);
      });
      const page = this.frame.contentDocument;
      page.open();
      page.write(
        "<!doctype html><script>" +
          "window.postMessage = (data) => parent.postMessage(data, '*');" +
          // In order, and done before the worker's script goes on: it awaits what importScripts returns.
          "window.importScripts = (...urls) => urls.reduce((before, url) => before.then(() => new Promise((done, failed) => {" +
          "const script = document.createElement('script'); script.src = url; script.onload = done; script.onerror = failed;" +
          "document.body.appendChild(script); })), Promise.resolve());" +
          "</" + "script><body><script src='" + encodeURI(String(url)).replaceAll("'", "%27") + "'></" + "script>" +
          "<script>parent.postMessage('the frame is ready', '*')</" + "script>",
      );
      page.close();
    }
    send(data) {
      this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data }));
    }
    postMessage(data) {
      if (this.waiting) this.waiting.push(data);
      else this.send(data);
    }
    terminate() {
      this.frame.remove();
    }
  };
}
