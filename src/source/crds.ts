/** The schemas that the package ships: the very CRD files that a cluster is given, so that folder and cluster cannot disagree. */
import { readFileSync } from 'node:fs'
import { parse } from 'yaml'

/** `createValidator` of `api/validate.ts` takes these. */
export interface Schemas {
  /** CustomResourceDefinition documents. */
  readonly route: unknown
  readonly backend: unknown
  /** A structural schema, as in a CRD. */
  readonly settings: unknown
}

/** The same from `src/source/` and from `dist/source/`. */
const PACKAGE = new URL('../../', import.meta.url)

const FILES = {
  route: 'crds/headgate.dev_routes.yaml',
  backend: 'crds/headgate.dev_backends.yaml',
  settings: 'schemas/settings.yaml',
} as const

/** Reads one of them; the Route takes some 0.1 s, the others less. */
export function readSchema(name: keyof typeof FILES): unknown {
  return parse(readFileSync(new URL(FILES[name], PACKAGE), 'utf8'), { uniqueKeys: false }) as unknown
}

export function readSchemas(): Schemas {
  return { route: readSchema('route'), backend: readSchema('backend'), settings: readSchema('settings') }
}
