import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { contentTypeOf, grpcContentType } from '../../src/grpc/content-type.ts'

describe('a content type of gRPC', () => {
  it('is that of gRPC, or of gRPC-Web in bytes or text', () => {
    const forms: [string, string, string][] = [
      ['application/grpc', 'grpc', ''],
      ['application/grpc+proto', 'grpc', '+proto'],
      ['application/grpc+json', 'grpc', '+json'],
      ['Application/GRPC+Proto; charset=utf-8', 'grpc', '+proto'],
      ['application/grpc ;x', 'grpc', ''],
      ['application/grpc-web', 'web', ''],
      ['application/grpc-web+thrift', 'web', '+thrift'],
      ['application/grpc-web-text', 'web-text', ''],
      ['application/grpc-web-text+proto', 'web-text', '+proto'],
      ['application/grpc-web-text-base64', 'web-text', ''],
    ]
    for (const [value, form, suffix] of forms) assert.deepEqual(grpcContentType(value), { form, suffix }, value)
  })

  it('is no other that begins alike', () => {
    const others = ['', 'application/json', 'application/grpcx', 'application/grpc-webs', 'application/grpc-web-texts']
    others.push('text/application/grpc', ' application/grpc', 'application/grpc,application/grpc', 'application/grpc+')
    others.push(`application/grpc+${'a'.repeat(65)}`, 'application/grpc+a b')
    for (const value of others) assert.equal(grpcContentType(value), null, value)
  })

  it('is written as it is read', () => {
    for (const form of ['grpc', 'web', 'web-text'] as const)
      for (const suffix of ['', '+proto', '+json']) {
        const type = { form, suffix }
        assert.deepEqual(grpcContentType(contentTypeOf(type)), type)
      }
  })
})
