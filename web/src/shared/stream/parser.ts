/** One server-sent event; `id` is where to go on from. */
export type ServerEvent = { id: string; type: string; data: unknown };

/** Puts the text of an event stream together as events, wherever it was cut (WHATWG HTML, 9.2). */
export class EventParser {
  private rest = "";
  private fields: { id: string; type: string; data: string[] } = fresh("");

  feed(text: string): ServerEvent[] {
    const lines = (this.rest + text).split(/\r\n|\n/);
    this.rest = lines.pop() ?? "";
    return lines.flatMap((line) => this.line(line));
  }

  private line(line: string): ServerEvent[] {
    if (line !== "") {
      this.field(line);
      return [];
    }
    const { id, type, data } = this.fields;
    this.fields = fresh(id);
    return data.length ? [{ id, type, data: JSON.parse(data.join("\n")) }] : [];
  }

  private field(line: string): void {
    const [name = "", ...after] = line.split(":");
    const value = after.join(":").replace(/^ /, "");
    if (name === "data") this.fields.data.push(value);
    else if (name === "event") this.fields.type = value;
    else if (name === "id") this.fields.id = value;
  }
}

const fresh = (id: string) => ({ id, type: "message", data: [] as string[] });
