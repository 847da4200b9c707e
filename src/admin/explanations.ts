/** What the admin API asks about requests that nobody makes, and its answers. */
import type { ExplainAnswer } from '../exchange/explain.ts'

/** The body, structure and types validated. */
export interface ExplainBody {
  readonly url: string
  /** GET where absent. */
  readonly method?: string
  /** As a client sends them; `host` takes the place of that of the URL. */
  readonly headers?: readonly { readonly name: string; readonly value: string }[]
  /** Address of the client; 127.0.0.1 where absent. */
  readonly client?: string
  /** Name of the listener; where absent the one with the port of the URL, or else with its scheme. */
  readonly listener?: string
}

export type ExplainOutcome =
  | { readonly ok: true; readonly view: ExplainAnswer }
  | {
      readonly ok: false
      readonly status: 422 | 503
      readonly reason: 'InvalidExplain' | 'NotServing'
      readonly title: string
      readonly detail: string
    }

export interface Explanations {
  explain(body: ExplainBody): Promise<ExplainOutcome>
}
