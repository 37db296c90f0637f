import { useDraft, valueOf } from "@/entities/draft/draft";
import type { Size } from "@/entities/draft/marks";
import type { ModelListView } from "@/shared/api/client";
import { modelOf } from "@/shared/api/models";

/** Tells which size the edit of a photo will have, by the settings that are chosen. */
export function useOutcome(models: ModelListView | undefined): (photo: Size) => string {
  const model = useDraft((draft) => draft.model);
  const values = useDraft((draft) => draft.values);
  return (photo) => {
    const before = `Photo ${told(photo)} pixels`;
    if (!models) return before;
    const of = (name: string) => String(valueOf(modelOf(models, model), values, name));
    return `${before}, result ${outcome(photo, of("size"), of("resolution"), models.limits.output_pixels)}`;
  };
}

const told = ({ width, height }: Size) => `${width} × ${height}`;

export function outcome(photo: Size, size: string, resolution: string, most: number): string {
  if (resolution !== "own") return size === "auto" ? "of the model’s own size" : size.replace("x", " × ");
  const scale = Math.min(1, Math.sqrt(most / (photo.width * photo.height)));
  return scale === 1 ? "of the same size" : `about ${told({ width: Math.round(photo.width * scale), height: Math.round(photo.height * scale) })}`;
}
