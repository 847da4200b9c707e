import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UNBUILT } from '../../src/api/not-implemented.ts'
import { type FieldProblem, formatPath } from '../../src/api/object.ts'
import { validator } from './schemas.ts'

type Tree = Record<string, unknown>

/**
 * A value that asks for something, for every entry of the table; by its name without the place where policies stand.
 */
const SAMPLES: Tree = {
  'accessLog.fields': { agent: 'header:user-agent' },
  hedge: { after: '200ms' },
  'limits.maxConcurrentRequests': 5,
  access: { allow: ['10.0.0.0/8'] },
  cors: { allowOrigins: ['*'] },
  auth: { basic: { secretName: 'users' } },
  authorization: [{ name: 'a', claim: 'b', in: ['c'] }],
  rateLimits: [{ name: 'a', requests: 1, per: '1s', by: ['client.ip'] }],
  cache: {},
  compression: { algorithms: ['gzip'] },
  mirror: { backendRef: { name: 'shadow' } },
  fault: { abort: { percent: 1, statusCode: 503 } },
  errors: [{ codes: ['404'], body: 'x' }],
  plugins: [{ name: 'a' }],
  'spec.maintenance.enabled': true,
  'spec.tls': {},
  'spec.rules[].splitAffinity': { by: ['cookie:a'] },
  'spec.rules[].tokenIssuer': { issuer: 'https://a.example/', signingKeySecretName: 'a', clientsSecretName: 'b' },
  'spec.rules[].backendRefs[].priority': 1,
  'spec.protocol': 'GRPC',
  'spec.loadBalancing.algorithm': 'PeakEWMA',
  'spec.loadBalancing.hashOn': ['client.ip'],
  'spec.loadBalancing.slowStart': '30s',
  'spec.loadBalancing.zoneAware': true,
  'spec.sessionAffinity': { cookie: { name: 'a' } },
  'spec.healthCheck.active': {},
