// The router's pages expect to be at the root of a server and call /api/...; behind the gateway that is /ccr-ui/api/...
(() => {
  const moved = (url) => (typeof url === "string" && url.startsWith("/api/") ? "/ccr-ui" + url : url);
  const fetch = window.fetch;
  window.fetch = (input, init) => fetch.call(window, moved(input), init);
  const open = XMLHttpRequest.prototype.open;
  XMLHttpRequest.prototype.open = function (method, url, ...rest) {
    return open.call(this, method, moved(url), ...rest);
  };
  const Source = window.EventSource;
  window.EventSource = class extends Source {
    constructor(url, init) {
      super(moved(url), init);
    }
  };
})();
