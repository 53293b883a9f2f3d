// Watches everything a visitor's pages do that nobody should notice: errors, refused content, dialogs, foreign requests.
import assert from "node:assert/strict";

const VIOLATION = "securitypolicyviolation";

export class Witness {
  static async of(context, origin) {
    const witness = new Witness(origin);
    context.on("console", (message) => witness.heard(message));
    context.on("weberror", (error) => witness.seen.push(`error: ${error.error()}`));
    context.on("dialog", (dialog) => witness.opened(dialog));
    context.on("request", (request) => witness.requested(request));
    await context.addInitScript((name) => {
      document.addEventListener(name, (event) => {
        console.error(name, event.violatedDirective, event.blockedURI);
      });
    }, VIOLATION);
    return witness;
  }

  constructor(origin) {
    this.origin = origin;
    this.seen = [];
  }

  /** Fails if anything was noticed since the last call. */
  assertSilent(where) {
    const seen = this.seen.splice(0);
    assert.deepEqual(seen, [], where);
  }

  heard(message) {
    if (!["error", "warning"].includes(message.type()) || isRefusal(message) || isLeaving(message)) return;
    this.seen.push(`${message.type()}: ${message.text()} at ${message.location().url}`);
  }

  async opened(dialog) {
    this.seen.push(`dialog: ${dialog.message()}`);
    await dialog.dismiss();
  }

  requested(request) {
    const { origin, protocol } = new URL(request.url());
    if (protocol !== "data:" && origin !== this.origin) this.seen.push(`request: ${request.url()}`);
  }
}

/** Chromium says of each page that is not there, or not for this visitor, that it is not: that is the page's answer. */
function isRefusal(message) {
  const page = message.page()?.url();
  return /the server responded with a status of 4\d\d/.test(message.text()) && message.location().url === page;
}

/**
 * A visitor who leaves a page before its stream has begun ends that request, and htmx says so. Where the server is the
 * reason, Chromium says so too, in a line of its own.
 */
function isLeaving(message) {
  return message.text().startsWith("htmx: htmx:error: Failed to fetch");
}
