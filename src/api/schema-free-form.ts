/** Parts of an object that belong to somebody else: any JSON. */
import { isRecord, type Run, setOwn, wrongType } from './schema-run.ts'
import { typeName } from './wording.ts'

/** Deeper than any schema goes. */
const MAX_DEPTH = 64

/** Any JSON, copied; what a plugin is given. Rules in CEL do not look into it. */
export function checkFreeForm(value: unknown, run: Run): unknown {
  if (!isRecord(value)) return wrongType(value, 'an object', run)
  run.cel = {}
  return copyJson(value, run, 0)
}

function copyJson(value: unknown, run: Run, depth: number): unknown {
  if (depth > MAX_DEPTH) {
    run.problem('Invalid', `is nested more than ${MAX_DEPTH} levels deep`)
    return null
  }
  if (Array.isArray(value)) return Object.freeze(value.map((item) => copyJson(item, run, depth + 1)))
  if (isRecord(value)) {
    const result: Record<string, unknown> = {}
    for (const key of Object.keys(value)) setOwn(result, key, copyJson(value[key], run, depth + 1))
    return Object.freeze(result)
  }
  if (value === null || typeof value === 'string' || typeof value === 'boolean' || Number.isFinite(value)) return value
  run.problem('Type', `holds ${typeName(value)}, which is not JSON`)
  return null
}
