import { lazy, Suspense, useEffect, useState } from "react";
import { useModels } from "@/shared/api/models";
import { addFiles, setFiles } from "./draft";
import { filesOf, refusal } from "./photos";

const Dropzone = lazy(() => import("./dropzone"));

/**
 * Take photos that are chosen, dropped anywhere or pasted; tells why the last was refused. With `adds`, they come to
 * those that are there; else they take their place.
 */
export function usePhotos({ adds, onTaken = () => {} }: { adds: boolean; onTaken?: () => void }) {
  const [problem, setProblem] = useState<string | null>(null);
  const most = useModels()?.limits.upload_bytes;

  const take = async (files: File[]) => {
    if (!files.length) return;
    const whys = await Promise.all(files.map((file) => refusal(file, most)));
    setProblem(whys.find((why) => why !== null) ?? null);
    const good = files.filter((_, index) => whys[index] === null);
    if (!good.length) return;
    (adds ? addFiles : setFiles)(good);
    onTaken();
  };
  return { problem, take };
}

/** Hands over what is dropped anywhere on the page, or pasted. */
export function Drops({ take, label }: { take: (files: File[]) => void; label: string }) {
  useEffect(() => {
    const paste = (event: ClipboardEvent) => take(filesOf(event.clipboardData));
    document.addEventListener("paste", paste);
    return () => document.removeEventListener("paste", paste);
  }, [take]);
  return (
    <Suspense>
      <Dropzone take={take} label={label} />
    </Suspense>
  );
}
