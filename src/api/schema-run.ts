/** One run of a checker over one value: what the parts of the schema compiler share. */
import { runSteps } from '../lib/steps.ts'
import type { CelProgram } from './cel.ts'
import type { FieldProblem } from './object.ts'
import { typeName } from './wording.ts'

/** Copies the value with defaults applied, and records its problems. */
export type Check = (value: unknown, run: Run) => unknown

/**
 * The same, a part after each `yield`: for values that an object may make so large that they are not to be checked in
 * one turn.
 */
export type StepCheck = (value: unknown, run: Run) => Generator<void, unknown>

/** A compiled node of a schema. */
export interface SchemaNode {
  readonly check: Check
  /** Set where the value may be large: it or what it holds has a long list of objects. */
  readonly steps?: StepCheck
}

/** Both forms of a check in steps. */
export function stepwise(steps: StepCheck): SchemaNode {
  return {
    steps,
    check: (value, run) => runSteps(steps(value, run)),
  }
}

/** More is of no use to anybody, and each costs a look for its place. */
const MAX_PROBLEMS = 100

export class Run {
  readonly problems: FieldProblem[] = []
  readonly warnings: FieldProblem[] = []
  readonly path: (string | number)[] = []
  /** What the last check returned as CEL sees it: integers are 64 bit, reserved words are escaped. */
  cel: unknown
  /** A problem prevents the evaluation of rules. */
  #blocked = false
  readonly #broken: FieldProblem[] = []

  /** The maximum number of problems is reached. */
  get full(): boolean {
    return this.problems.length >= MAX_PROBLEMS
  }

  problem(reason: FieldProblem['reason'], message: string): void {
    if (!this.full) this.problems.push({ path: [...this.path], reason, message })
  }

  /** A problem of a kind that keeps an API server from evaluating rules. */
  block(reason: FieldProblem['reason'], message: string): void {
    this.#blocked = true
    this.problem(reason, message)
  }

  /** Rules are evaluated on the spot, where the path is known; whether they count is only known at the end. */
  evaluate(programs: readonly CelProgram[]): void {
    if (this.#blocked) return
    for (const program of programs) {
      const violation = program.check(this.cel)
      if (violation === undefined) continue
      const { message, below } = violation
      if (this.#broken.length < MAX_PROBLEMS)
        this.#broken.push({ path: [...this.path, ...below], reason: program.reason, message })
    }
  }

  finish(): void {
    if (!this.#blocked) this.problems.push(...this.#broken)
  }
}

/** @param remedy behind what is wrong */
export function wrongType(value: unknown, wanted: string, run: Run, remedy = ''): undefined {
  run.block('Type', `must be ${wanted}, not ${typeName(value)}${remedy}`)
  run.cel = undefined
  return undefined
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Also for `__proto__`, which plain assignment would not store. */
export function setOwn(target: Record<string, unknown>, key: string, value: unknown): void {
  if (key === '__proto__')
    Object.defineProperty(target, key, { value, enumerable: true, writable: true, configurable: true })
  else target[key] = value
}
