/** Keeps at most one run of a task under way, and always makes one for the latest wish. */

/**
 * @param {() => Promise<void>} task - It reads what is wished for when it begins.
 * @returns {() => Promise<void>} Wishes for a run; resolves when nothing is under way any more.
 */
export function latestOnly(task) {
  let again = false;
  /** @type {Promise<void> | null} */
  let running = null;
  async function runAll() {
    do {
      again = false;
      await task();
    } while (again);
    running = null;
  }
  return () => {
    again = true;
    running ??= runAll();
    return running;
  };
}

/**
 * Calls a function once nothing has asked for it for so long.
 *
 * @param {() => void} call
 * @param {number} delayMs
 * @returns {() => void}
 */
export function settled(call, delayMs) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(call, delayMs);
  };
}
