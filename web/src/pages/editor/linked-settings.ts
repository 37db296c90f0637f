import { useEffect } from "react";
import { useSearchParams } from "react-router";
import { adopt, setFiles } from "@/entities/draft/draft";
import { restoreDraft } from "@/entities/draft/keep";
import { fetchFile } from "@/entities/draft/photos";
import { complain } from "@/shared/notices";

/** Settings in the address, as links of this site have them: `/?photo=/…&prompt=…&model=…&seed=…`; the rest stays. */
export function useLinkedSettings(): void {
  const [search, setSearch] = useSearchParams();
  useEffect(() => {
    const { photo, model, ...params } = Object.fromEntries(search);
    if (!search.size) return;
    setSearch({}, { replace: true });
    const take = () => {
      adopt(model ?? null, Object.fromEntries(Object.entries(params).map(([name, value]) => [name, typed(value)])));
      if (photo?.startsWith("/") && !photo.startsWith("//")) fetchFile(photo).then((file) => setFiles([file]), complain("The photo of this link cannot be had:"));
    };
    void restoreDraft().then(take);
  }, [search, setSearch]);
}

const typed = (value: string) => (/^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value);
