import { fireEvent, render, screen } from "@testing-library/react";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { Photo } from "./photo";
import { refusal } from "./photos";

const file = (name: string, bytes: string, type = "") => new File([Uint8Array.from(bytes, (letter) => letter.charCodeAt(0))], name, { type });
const HEIC = "\0\0\0\x18ftypheic\0\0\0\0";
const JPEG = "\xff\xd8\xff\xe0\0\x10JFIF";

/** A browser that can show a picture or cannot; jsdom loads none. */
function browserThat(shows: boolean): void {
  vi.stubGlobal("Image", class {
    onload = () => {};
    onerror = () => {};
    set src(_: string) {
      queueMicrotask(() => (shows ? this.onload() : this.onerror()));
    }
  });
  Object.assign(URL, { createObjectURL: () => "blob:1", revokeObjectURL: () => {} });
}

beforeEach(() => browserThat(true));

describe("a photo that is brought", () => {
  it("is taken by its content, whatever its name and type", async () => {
    const taken = [file("a.jpg", JPEG), file("IMG_1.HEIC", HEIC), file("a", "GIF89a", "image/gif"), file("a.tif", "II*\0\x08"), file("a.txt", "BM")];
    expect(await Promise.all(taken.map((one) => refusal(one)))).toEqual(taken.map(() => null));
  });

  it("is refused in words that name the kinds, even if it is called a picture", async () => {
    const refused = "is no JPEG, PNG, WebP, HEIC, AVIF, GIF, TIFF or BMP picture.";
    expect(await refusal(file("notes.txt", "hello", "text/plain"))).toBe(`notes.txt ${refused}`);
    expect(await refusal(file("a.png", "no png", "image/png"))).toBe(`a.png ${refused}`);
    expect(await refusal(file("empty.jpg", "", "image/jpeg"))).toBe(`empty.jpg ${refused}`);
  });

  it("is refused where it is broken or larger than the service takes", async () => {
    expect(await refusal(file("a.jpg", JPEG + "x".repeat(2 ** 20)), 2 ** 20)).toBe("a.jpg is larger than 1 MB, the most that is taken.");
    browserThat(false);
    expect(await refusal(file("a.jpg", JPEG))).toMatch(/a\.jpg is broken/);
    expect(await refusal(file("a.heic", HEIC))).toBeNull(); // no browser need show it
  });

  it("is named where the browser cannot show it", () => {
    const { rerender } = render(<Photo url="blob:1" name="a.heic" />);
    fireEvent.error(screen.getByAltText("To be edited"));
    expect(screen.getByText(/cannot show a\.heic/)).toBeTruthy();
    rerender(<Photo url="blob:2" name="b.jpg" />);
    expect(screen.getByAltText("To be edited").getAttribute("src")).toBe("blob:2");
  });
});
