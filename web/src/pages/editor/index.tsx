import { Gate } from "@/features/session/gate";
import { Workspace } from "./workspace";

export default function EditorPage() {
  return (
    <Gate>
      <Workspace />
    </Gate>
  );
}
