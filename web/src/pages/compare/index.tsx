import { Gate } from "@/features/session/gate";
import { Comparison } from "./comparison";

export default function ComparePage() {
  return (
    <Gate>
      <Comparison />
    </Gate>
  );
}
