// Waiting for something to become true, with an end.

const STEP_MS = 25;

/** Asks again and again until `holds` answers true; fails after `limit` milliseconds and says what was awaited. */
export async function eventually(limit, what, holds) {
  const end = Date.now() + limit;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`not within ${limit} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, STEP_MS));
  }
}
