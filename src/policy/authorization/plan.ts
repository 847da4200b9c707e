/** What a worker gets of `authorization`. */

export interface RulePlan {
  readonly name: string
  /** Requests that it is for; absent = all. */
  readonly when?: RequestKinds
  readonly test: RuleTest
  /** What it denies passes, and is noted. */
  readonly dryRun: boolean
}

export interface RequestKinds {
  /** Upper case; absent = all. GET stands for HEAD too. */
  readonly methods?: readonly string[]
  /** In normal form; one that ends in `/*` stands for all below, and for the path before it. Absent = all. */
  readonly paths?: readonly string[]
}

export type RuleTest =
  | {
      readonly type: 'equals' | 'in' | 'hasAny' | 'hasAll'
      /** Names of members, outermost first. */
      readonly claim: readonly string[]
      readonly values: readonly string[]
    }
  | { readonly type: 'scopes' | 'consumers' | 'groups' | 'sourceCIDRs'; readonly values: readonly string[] }
  | { readonly type: 'cel'; readonly source: string }
  /** Nothing is asked of the requests that it is for. */
  | { readonly type: 'none' }
