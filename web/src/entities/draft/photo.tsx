import { useState } from "react";
import type { Size } from "./marks";

type Props = { url: string; name: string; className?: string; small?: boolean; onSize?: (size: Size | null) => void };

/** A photo to be edited, or words in its place: most browsers cannot show HEIC and TIFF, which the service reads. */
export function Photo({ url, name, className, small = false, onSize }: Props) {
  const [unseen, setUnseen] = useState<string | null>(null);
  if (unseen !== url) {
    return (
      <img
        src={url}
        alt="To be edited"
        className={className}
        draggable={false}
        onLoad={({ currentTarget: { naturalWidth: width, naturalHeight: height } }) => onSize?.({ width, height })}
        onError={() => {
          setUnseen(url);
          onSize?.(null);
        }}
      />
    );
  }
  return (
    <span className={className} data-unseen>
      {small ? name.split(".").pop()?.toUpperCase() : `This browser cannot show ${name}. The service can read it: it will be edited all the same.`}
    </span>
  );
}
