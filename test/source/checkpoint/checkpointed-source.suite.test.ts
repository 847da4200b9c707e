import { interestIn, sourceSuite } from '../../suite/source.ts'
import { Place } from './world.ts'

const interest = interestIn({ services: ['shop/v'], secrets: ['shop/s'], configMaps: ['shop/c'], namespaces: true })

sourceSuite('an API server that is remembered', async () => {
  const place = await Place.open()
  const { api } = place
  const life = place.life({ interest, memory: { keyFile: place.keyFile } })
  return {
    source: life.source,
    put: async (object) => api.put(object),
    putAll: async (objects) => {
      for (const object of objects) api.put(object)
    },
    remove: async (object) => api.remove(object),
    close: async () => {
      await life.end()
      await place.close()
    },
  }
})
