import { client } from "./generated/client.gen";

client.setConfig({ baseUrl: "", throwOnError: true });
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
}

type Problem = { title?: string; detail?: string; errors?: { field: string; detail: string }[] };

export * from "./generated";
export { client };
