/**
 * The schemas in the package. They equal those of the CRD files, so that folder and cluster validate alike.
 */
import { readFileSync } from 'node:fs'

/** The argument of `createValidator` in `api/validate.ts`. */
export interface Schemas {
  /** CustomResourceDefinition documents. */
  readonly route: unknown
  readonly backend: unknown
  /** A structural schema, as in a CRD. */
  readonly settings: unknown
}

/**
 * Written by `schemas/generate.ts` together with the YAML files: their content without descriptions, which takes a few
 * milliseconds to read, while the YAML would take a third of the startup time. Same path from `src/` and `dist/`.
 */
const COMPACT = new URL('../../schemas/compact.json', import.meta.url)

export function readSchemas(): Schemas {
  return JSON.parse(readFileSync(COMPACT, 'utf8')) as Schemas
}
