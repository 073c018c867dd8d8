/** One HTTP request with deadlines, no redirects, and typed errors; knows no protocol. */

import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { type IncomingMessage, request as plainRequest } from "node:http";
import { request as secureRequest } from "node:https";
import { pipeline } from "node:stream";

import { ServerRefusal, sentenceOf, TimeoutError, Unreachable } from "../errors.js";

/** Longest wait for a connection, and between two reads. */
export const IDLE_SECONDS = 30;

/** A request. */
export interface HttpRequest {
  readonly method: "GET" | "POST" | "PUT";
  readonly url: string;
  /** Fields of a form, a value to send as JSON, or the path of a file. */
  readonly body?:
    | { readonly form: Readonly<Record<string, string>> }
    | { readonly json: unknown }
    | { readonly file: string };
  readonly headers?: Readonly<Record<string, string>>;
  /** The certificate to trust, as PEM; empty for those of the system. */
  readonly ca?: string;
  /** Longest wait for a connection, and between two reads; `IDLE_SECONDS` by default. */
  readonly idleSeconds?: number;
}

/**
 * Makes a request, and gives the answer to its reader. The connection ends with the reading.
 *
 * @throws ServerRefusal `HTTP_{status}`, when the status is neither 200 nor 201.
 * @throws Unreachable The server cannot be reached, or ended the connection early.
 * @throws TimeoutError The server was silent for too long.
 */
export async function httpRequest<T>(
  request: HttpRequest,
  read: (body: AsyncIterable<Buffer>) => Promise<T>,
): Promise<T> {
  const response = await answerTo(request);
  try {
    if (response.statusCode !== 200 && response.statusCode !== 201) {
      throw new ServerRefusal(`HTTP_${response.statusCode}`);
    }
    return await read(bodyOf(response));
  } finally {
    response.destroy();
  }
}

/**
 * Returns the whole body of an answer.
 *
 * @throws ServerRefusal ANSWER_TOO_LARGE.
 */
export async function readBody(body: AsyncIterable<Buffer>, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.length;
    if (length > maxBytes) {
      throw new ServerRefusal("ANSWER_TOO_LARGE");
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function answerTo({
  method,
  url,
  body,
  headers = {},
  ca = "",
  idleSeconds = IDLE_SECONDS,
}: HttpRequest): Promise<IncomingMessage> {
  const target = urlOf(url);
  const [content, described] = await contentOf(body);
  return new Promise((resolve, reject) => {
    let answer: IncomingMessage | undefined;
    const take = (response: IncomingMessage) => {
      answer = response;
      resolve(response);
    };
    const options = {
      method,
      headers: { ...headers, ...described },
      agent: false as const,
      timeout: idleSeconds * 1000,
    };
    const call =
      target.protocol === "https:"
        ? secureRequest(target, { ...options, ...(ca ? { ca } : {}) }, take)
        : plainRequest(target, options, take);
    call.on("timeout", () => {
      const silent = new TimeoutError(`${target.host} was silent for ${idleSeconds} s`);
      answer?.destroy(silent); // its reader would only learn that it is cut short
      call.destroy(silent);
    });
    call.on("error", (error) => {
      reject(error instanceof TimeoutError ? error : new Unreachable(`${target.host}: ${sentenceOf(error)}`));
    });
    if (typeof content === "object") {
      // Closes the file, too, when the server has answered before it has read all.
      pipeline(content, call, (error) => {
        if (error) {
          reject(error);
        }
      });
    } else {
      call.end(content);
    }
  });
}

function urlOf(url: string): URL {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed?.protocol !== "http:" && parsed?.protocol !== "https:") {
    throw new Unreachable(`${url} is no URL of a server`);
  }
  return parsed;
}

async function contentOf(
  body: HttpRequest["body"],
): Promise<[content: string | ReturnType<typeof createReadStream>, headers: Record<string, string>]> {
  if (body === undefined) {
    return ["", {}];
  }
  if ("file" in body) {
    const { size } = await stat(body.file);
    return [
      createReadStream(body.file),
      { "content-type": "application/octet-stream", "content-length": String(size) },
    ];
  }
  const isForm = "form" in body;
  const text = isForm ? new URLSearchParams(body.form).toString() : JSON.stringify(body.json);
  const type = isForm ? "application/x-www-form-urlencoded" : "application/json";
  return [text, { "content-type": type, "content-length": String(Buffer.byteLength(text)) }];
}

async function* bodyOf(response: IncomingMessage): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of response) {
      yield chunk as Buffer;
    }
  } catch (error) {
    throw error instanceof TimeoutError ? error : new Unreachable(sentenceOf(error));
  }
}
