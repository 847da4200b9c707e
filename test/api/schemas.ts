/** The schemas as the package ships them, and a validator made from them. */
import { readFileSync } from 'node:fs'
import { parse } from 'yaml'
import { createValidator, type SchemaDocuments } from '../../src/api/validate.ts'

const read = (name: string): unknown => parse(readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8'))

export const documents: SchemaDocuments = {
  route: read('crds/headgate.dev_routes.yaml'),
  backend: read('crds/headgate.dev_backends.yaml'),
  settings: read('schemas/settings.yaml'),
}

export const validator = createValidator(documents)
