import { sourceSuite } from '../../suite/source.ts'
import { open } from './world.ts'

sourceSuite('an API server', async () => {
  const needs = { services: ['shop/v'], secrets: ['shop/s'], configMaps: ['shop/c'], namespaces: true }
  const { api, source, close } = await open({}, {}, needs)
  return {
    source,
    put: async (object) => api.put(object),
    putAll: async (objects) => {
      for (const object of objects) api.put(object)
    },
    remove: async (object) => api.remove(object),
    close,
  }
})
