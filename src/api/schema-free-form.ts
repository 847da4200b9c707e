/** Free-form parts of an object, which may hold any JSON. */
import { isRecord, type Run, setOwn, wrongType } from './schema-run.ts'
import { typeName } from './wording.ts'

/** Deeper than any schema goes. */
const MAX_DEPTH = 64

/** Bound on values: aliases in YAML can expand to billions. */
const MAX_VALUES = 20_000

/** Any JSON, copied; what a plugin is given. Rules in CEL do not look into it. */
export function checkFreeForm(value: unknown, run: Run): unknown {
  if (!isRecord(value)) return wrongType(value, 'an object', run)
  run.cel = {}
  const copy = new Copy()
  const result = copy.of(value, 0)
  if (copy.problem !== '') run.problem('Invalid', copy.problem)
  return result
}

class Copy {
  problem = ''
  #values = 0

  of(value: unknown, depth: number): unknown {
    if (this.problem !== '') return null
    if (depth > MAX_DEPTH) return this.#refuse(`is nested more than ${MAX_DEPTH} levels deep`)
    if (++this.#values > MAX_VALUES) return this.#refuse(`holds more than ${MAX_VALUES} values`)
    if (Array.isArray(value)) return Object.freeze(value.map((item) => this.of(item, depth + 1)))
    if (isRecord(value)) {
      const result: Record<string, unknown> = {}
      for (const key of Object.keys(value)) setOwn(result, key, this.of(value[key], depth + 1))
      return Object.freeze(result)
    }
    if (value === null || typeof value === 'string' || typeof value === 'boolean' || Number.isFinite(value))
      return value
    return this.#refuse(`holds ${typeName(value)}, which is not JSON`)
  }

  #refuse(problem: string): null {
    this.problem = problem
    return null
  }
}
