/** Asks the service. Everything that the page shows comes through here. */

/** An answer that is no success, or none at all. */
export class ServiceError extends Error {
  /**
   * @param {string} message
   * @param {number} status - 0 where nobody answered.
   */
  constructor(message, status) {
    super(message);
    this.status = status;
  }

  /** Whether the service has no such thing, rather than having failed at it. */
  get isAbsent() {
    return [400, 404, 405, 501].includes(this.status);
  }
}

/** @type {{ key: string, onRefused: null | (() => void) }} */
export const access = { key: sessionStorage.getItem("key") ?? "", onRefused: null };

/**
 * Send one request.
 *
 * @param {string} path
 * @param {{ method?: string, body?: any, headers?: Record<string, string>, signal?: AbortSignal }} [options]
 *     A body that is no string is sent as JSON.
 * @returns {Promise<Response>}
 * @throws {ServiceError} Nobody answers.
 */
export async function send(path, { method, body, headers = {}, signal } = {}) {
  const text = body === undefined || typeof body === "string" ? body : JSON.stringify(body);
  const all = { Accept: "application/json", ...headers };
  if (text !== undefined && !all["Content-Type"]) all["Content-Type"] = "application/json";
  if (access.key) all.Authorization = `Bearer ${access.key}`;
  try {
    const response = await fetch(path, { method: method ?? (text === undefined ? "GET" : "POST"), body: text, headers: all, signal });
    if (response.status === 401) access.onRefused?.();
    return response;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServiceError(`The service does not answer: ${error.message}.`, 0);
  }
}

/**
 * Ask for a JSON document.
 *
 * @param {string} path
 * @param {Parameters<typeof send>[1]} [options]
 * @returns {Promise<{ answer: any, version: string }>} The document, and the version that made it.
 * @throws {ServiceError}
 */
export async function ask(path, options) {
  const response = await send(path, options);
  const text = await response.text();
  let answer = null;
  try {
    answer = JSON.parse(text);
  } catch {
    throw new ServiceError(response.ok ? "The answer is no JSON." : `The service answers ${response.status}.`, response.status);
  }
  if (!response.ok) throw new ServiceError(said(answer) ?? `The service answers ${response.status}.`, response.status);
  return { answer, version: response.headers.get("X-Model-Version") ?? "" };
}

/**
 * Ask for a document that old versions and other models may lack.
 *
 * @param {string} path
 * @param {Parameters<typeof send>[1]} [options]
 * @returns {Promise<any>} The document, or null.
 */
export async function askIfThere(path, options) {
  try {
    return (await ask(path, options)).answer;
  } catch (error) {
    if (error instanceof ServiceError) return null;
    throw error;
  }
}

function said(answer) {
  return answer?.error ?? answer?.message ?? null;
}
