import { useEffect, useState } from "react";
import { setFile } from "./draft";
import { fileOf, refusal } from "./photos";

/** Take photos that are dropped anywhere or pasted; tells whether one hovers and why the last was refused. */
export function usePhotos(onTaken: () => void) {
  const [problem, setProblem] = useState<string | null>(null);

  const take = (file: File | null) => {
    if (!file) return;
    const why = refusal(file);
    setProblem(why);
    if (why) return;
    setFile(file);
    onTaken();
  };
  const hovers = useDrops(take);
  return { hovers, problem, take };
}

/** Hands over what is dropped anywhere or pasted; tells whether something hovers. */
export function useDrops(take: (file: File | null) => void): boolean {
  const [hovers, setHovers] = useState(false);

  useEffect(() => {
    const over = (event: DragEvent) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      setHovers(true);
    };
    const leave = (event: DragEvent) => event.relatedTarget === null && setHovers(false);
    const drop = (event: DragEvent) => {
      event.preventDefault();
      setHovers(false);
      take(fileOf(event.dataTransfer));
    };
    const paste = (event: ClipboardEvent) => take(fileOf(event.clipboardData));
    const listeners = { dragover: over, dragleave: leave, drop, paste } as Record<string, (event: never) => void>;
    for (const [name, listener] of Object.entries(listeners)) document.addEventListener(name, listener as EventListener);
    return () => {
      for (const [name, listener] of Object.entries(listeners)) document.removeEventListener(name, listener as EventListener);
    };
  });

  return hovers;
}
