/** Who asks, as far as turns and limits are concerned. */
export interface Caller {
  /** The key of ledgers: the same for the same caller in every process, different for any two. */
  readonly id: string;
  /** The name by which an operator knows a caller; nobody anonymous has one. */
  readonly subject?: string;
  readonly groups: readonly string[];
  readonly tier: string | undefined;
}
