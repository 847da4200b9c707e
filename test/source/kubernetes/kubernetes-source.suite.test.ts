import { interestIn, sourceSuite } from '../../suite/source.ts'
import { open } from './world.ts'

sourceSuite('an API server', async () => {
  const interest = interestIn({ services: ['shop/v'], secrets: ['shop/s'], configMaps: ['shop/c'], namespaces: true })
  const { api, source, close } = await open({}, {}, interest)
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
