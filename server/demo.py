async def fill(settings):
    return False
