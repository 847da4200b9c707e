/**
 * The schemas that the package ships: those of the CRD files that a cluster is given, so that folder and cluster cannot
 * disagree.
 */
import { readFileSync } from 'node:fs'

/** `createValidator` of `api/validate.ts` takes these. */
export interface Schemas {
  /** CustomResourceDefinition documents. */
  readonly route: unknown
  readonly backend: unknown
  /** A structural schema, as in a CRD. */
  readonly settings: unknown
}

/**
 * `schemas/generate.ts` writes it together with the YAML files, of which it is the content without descriptions: a few
 * milliseconds to read, where the YAML takes a third of the time in which Headgate is to be ready. The same from `src/`
 * and from `dist/`.
 */
const COMPACT = new URL('../../schemas/compact.json', import.meta.url)

export function readSchemas(): Schemas {
  return JSON.parse(readFileSync(COMPACT, 'utf8')) as Schemas
}
