import { fireEvent, render, screen } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import { Photo } from "./photo";
import { refusal } from "./photos";

const file = (name: string, type: string) => new File(["a"], name, { type });

describe("a photo that is brought", () => {
  it("is taken by its type or, where the browser knows none, by its ending", () => {
    const taken = [file("a.jpg", "image/jpeg"), file("a.heic", "image/heic"), file("IMG_1.HEIC", ""), file("a.tif", ""), file("a", "image/gif")];
    expect(taken.map(refusal)).toEqual(taken.map(() => null));
  });

  it("is refused in words that name the kinds", () => {
    expect(refusal(file("notes.txt", "text/plain"))).toBe(
      "notes.txt is no JPEG, PNG, WebP, HEIC, AVIF, GIF, TIFF or BMP picture.",
    );
  });

  it("is named where the browser cannot show it", () => {
    const { rerender } = render(<Photo url="blob:1" name="a.heic" />);
    fireEvent.error(screen.getByAltText("To be edited"));
    expect(screen.getByText(/cannot show a\.heic/)).toBeTruthy();
    rerender(<Photo url="blob:2" name="b.jpg" />);
    expect(screen.getByAltText("To be edited").getAttribute("src")).toBe("blob:2");
  });
});
