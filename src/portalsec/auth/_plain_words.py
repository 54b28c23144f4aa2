"""Words that people put around what they mean to be secret, and common ones that no list of ours has; without accents."""

from __future__ import annotations

__all__ = ["COMMON", "FILLERS"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


FILLERS = _words(
    # Little words.
    "a an and are as at be do for go has have her his i in is it its me my no not of on or our so that the this to too "
    "us we with you your new old big best love loves hello hi more than all "
    "al con de del e el en es esta la las le los lo mas me mi mis no nos nuestra nuestro o para por que se si soy su sus "
    "te tu tus un una y ya yo "
    "das der die du et ich il ist je le les mein meine mon ma und "
    # What a password is for.
    "account acceso access clave claves clinic clinica code contrasena contrasenas cuenta doctor health hospital "
    "inicio key login logon medico medica medical office paciente pacientes pass passcode password passwords passwort "
    "passwd patient patients portal private record records salud secret secreta secreto sesion user usuario web www com "
    # Persons and what is said to them.
    "abuela abuelo amiga amigo amo amor baby bebe bonita boy corazon dad daddy dios esposa esposo familia family father "
    "girl guapa hermana hermano hermosa hermoso hija hijo hola home jesus linda lindo mama mami mom mommy mother mundo "
    "papa papi quiero reina rey senor vida "
    # Months, days, seasons.
    "january february march april may june july august september october november december "
    "jan feb mar apr jun jul aug sep sept oct nov dec "
    "monday tuesday wednesday thursday friday saturday sunday spring summer autumn fall winter "
    "enero febrero marzo abril mayo junio julio agosto septiembre setiembre octubre noviembre diciembre ene abr ago dic "
    "lunes martes miercoles jueves viernes sabado domingo primavera verano otono invierno "
    # Counting, and what fills a page.
    "one two three four five six seven eight nine ten uno dos tres cuatro cinco seis siete ocho nueve diez "
    "eins zwei drei vier funf sechs sieben acht neun zehn lorem ipsum dolor test abc qwe asd"
)

COMMON = _words(
    "agua alegria amarillo amistad angel animal arbol argentina atletico azul azucar barca barcelona "
    "blanco boca bogota bolivia bonito caballo cabeza cafe calle caliente cama camino campeon campo "
    "cancion caracas carino casa castillo chile chivas chocolate cielo ciudad colegio colombia comida "
    "conejo contigo cristo cuba cumpleanos dinero dulce ecuador elefante escuela espana estrella "
    "estrellita felicidad feliz fiesta flor flores futbol galleta gata gatito gato gracias guatemala "
    "guerra guitarra habana hombre honduras huevo iglesia independiente invierno jardin jirafa juguete "
    "leche leon libertad libro limon lluvia loca loco luna luz madre madrid maestra maestro manana "
    "manzana mar mariposa martillo mexico mono montana mujer musica naranja navidad negro nicaragua nina "
    "nino noche ojos oso padre pais pajaro paloma panama panda paraguay parque payaso perro peru pescado "
    "piedra pintura playa plaza princesa principe puerta queso raton realmadrid recuerdo regalo rio river "
    "rojo rosa saltillo salvador sandia santa santo siempre silla sol sombra sonrisa suerte tarde "
    "tequiero tiempo tierra tigre tigres toro tortuga trabajo uruguay vaca venezuela ventana verde viento "
    "virgen zapato bitcoin discord facebook fortnite galaxy google instagram iphone minecraft naruto "
    "netflix pokemon roblox samsung spotify tiktok twitter whatsapp windows youtube administ пароль "
    "привет любовь наташа марина солнышко россия москва спартак максим андрей сергей александр "
)
