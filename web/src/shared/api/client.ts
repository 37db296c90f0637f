import { client } from "./generated/client.gen";
import { insist } from "./session-ends";

const SESSION = "/v1/session"; // it tells who is signed in, and a 401 is its answer

client.setConfig({
  baseUrl: "",
  throwOnError: true,
  fetch: (asked) => {
    const request = asked as Request;
    return new URL(request.url).pathname === SESSION ? fetch(request) : insist(() => fetch(request.clone()));
  },
});
client.interceptors.error.use((problem, response) => new ApiError(problem, response?.status ?? 0));

/** What the service answered instead of what was asked for (RFC 9457), or status 0 if it did not answer. */
export class ApiError extends Error {
  readonly status: number;
  readonly fields: Record<string, string>;

  constructor(problem: unknown, status: number) {
    const { title, detail, errors } = (problem ?? {}) as Problem;
    super(detail ?? title ?? (status ? `The service answered ${status}.` : "The service does not answer."));
    this.status = status;
    this.fields = Object.fromEntries((errors ?? []).map((error) => [error.field, error.detail]));
  }

  /** Whether nobody was there to answer: no connection, a proxy without a service behind it, a service that starts. */
  get isAway(): boolean {
    return [0, 502, 503, 504].includes(this.status);
  }
}

type Problem = { title?: string; detail?: string; errors?: { field: string; detail: string }[] };

export * from "./generated";
export { client };
