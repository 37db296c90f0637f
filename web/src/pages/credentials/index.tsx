import { Alert, Text } from "@mantine/core";
import { IconFileSearch } from "@tabler/icons-react";
import { useMutation } from "@tanstack/react-query";
import { FileButton } from "@/entities/draft/file-button";
import { Drops } from "@/entities/draft/use-photos";
import { Chapter, Reading } from "@/features/reading/reading";
import { checkCredentials } from "@/shared/api/client";
import classes from "./credentials.module.css";
import { Report } from "./report";

const PLACES = [
  { id: "read", title: "Read a picture" },
  { id: "meaning", title: "What the answer means" },
] as const;
const [READ, MEANING] = PLACES;

export default function CredentialsPage() {
  return (
    <Reading
      title="Content credentials"
      lead="What a picture says of where it comes from, in a signed account inside the file."
      places={[...PLACES]}
    >
      <Chapter {...READ}>
        <Reader />
      </Chapter>
      <Chapter {...MEANING}>
        <dl className={classes.meanings}>
          {MEANINGS.map(([verdict, meaning]) => (
            <div key={verdict}>
              <dt>{verdict}</dt>
              <dd>{meaning}</dd>
            </div>
          ))}
        </dl>
      </Chapter>
    </Reading>
  );
}

/** Takes a picture that is dropped, pasted or chosen, and tells what its credentials say. */
function Reader() {
  const check = useMutation({
    mutationFn: async (image: File) => (await checkCredentials({ body: { image }, throwOnError: true })).data,
  });
  const take = ([file]: File[]) => file && check.mutate(file);
  return (
    <>
      <Drops take={take} label="Drop it to read it" />
      <div className={classes.drop}>
        <FileButton take={take} icon={<IconFileSearch size={18} />} label="Choose a picture" loading={check.isPending} />
        <Text c="dimmed" size="sm">
          or drop or paste one anywhere here. It is read, and not kept.
        </Text>
      </div>
      <div role="status">{check.data && <Report check={check.data} name={check.variables?.name} />}</div>
      {check.error && (
        <Alert role="alert" variant="light" title="It could not be read">
          {check.error.message}
        </Alert>
      )}
    </>
  );
}

const MEANINGS = [
  ["None", "The file has no credentials. That says nothing: most sites and chats remove them when they store a picture anew."],
  ["Not valid", "The picture was changed after it was signed, or its credentials are broken or forged."],
  ["Valid", "The account is whole, and the picture is as it was signed. Who signed it, nobody here vouches for."],
  ["Trusted", "It is valid, and an authority that this service trusts vouches for who signed it."],
] as const;
